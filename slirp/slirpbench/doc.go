// Package slirpbench measures the network backends side by side in the namespaces
// of slirptest: make bench, or go test -bench . -benchtime 1x ./slirp/slirpbench.
// It prints ratios and asserts nothing; what is not installed is left out.
package slirpbench

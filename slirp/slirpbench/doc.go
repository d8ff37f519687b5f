// Package slirpbench measures the network backends side by side in the namespaces
// of slirptest: go test -bench . ./slirp/slirpbench. It prints ratios and asserts
// nothing; what is not installed is left out. iperf3 does the sending.
package slirpbench

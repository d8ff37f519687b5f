package seccomp

import _ "embed"

// ahead is made by: go test ./pkg/oci/seccomp -run Ahead -update
//
//go:embed zdefault.amd64.bpf
var ahead string

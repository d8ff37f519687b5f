package test

import (
	_ "github.com/rogpeppe/go-internal/testscript"
	_ "golang.org/x/net/bpf"
)

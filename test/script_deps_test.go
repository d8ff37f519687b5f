package test

import _ "golang.org/x/net/bpf"

//go:build !amd64

package seccomp

const ahead = ""

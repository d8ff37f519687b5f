package spec

import "strings"

// Addr is the address of a host, as text in the one form that netip.Addr.String
// has for it; "" is none.
//
// It is text because package net/netip must not be linked into what reads records
// in a stage of a container (cmd/nook/stage): by way of package unique it is among
// the last to be initialised, so that each stage would wait for most of the program.
// Package libpod/spec/ip turns addresses into netip's and back.
type Addr string

// Prefix is an address of a network with its bits, as text in the form of
// netip.Prefix.String, for the reason that Addr has; "" is none.
type Prefix string

// Is6 reports whether a is an IPv6 address, as netip.Addr.Is6.
func (a Addr) Is6() bool { return strings.Contains(string(a), ":") }

// Is6 reports whether the network is an IPv6 one.
func (p Prefix) Is6() bool { return strings.Contains(string(p), ":") }

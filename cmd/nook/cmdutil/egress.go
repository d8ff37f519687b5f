package cmdutil

import "github.com/spf13/pflag"

// AddEgress defines --egress, which containers and networks have.
func AddEgress(f *pflag.FlagSet, to *[]string) {
	f.StringArrayVar(to, "egress", nil, "where to go outside of the network, and nowhere else: none, or `RULE,...` of NAME, *.DOMAIN, ADDRESS[/BITS], each with :PORT[-LAST] or not")
}

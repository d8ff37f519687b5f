// Command mklab makes the fixtures of package lab and prints their directories:
//
//	mklab [busybox] [debian] [registry] [machine] [disk]
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/nook-containers/nook/test/lab"
)

func main() {
	makers := map[string]func() (string, error){
		"busybox":  lab.Busybox,
		"debian":   func() (string, error) { return lab.Debian(context.Background()) },
		"registry": func() (string, error) { return lab.RegistryStore(context.Background()) },
		"machine":  func() (string, error) { return lab.Machine(context.Background()) },
		"disk":     func() (string, error) { return lab.Disk(context.Background()) },
	}
	for _, what := range os.Args[1:] {
		mk, ok := makers[what]
		if !ok {
			fmt.Fprintln(os.Stderr, "mklab: no such fixture:", what)
			os.Exit(2)
		}
		dir, err := mk()
		if err != nil {
			fmt.Fprintln(os.Stderr, "mklab:", err)
			os.Exit(1)
		}
		fmt.Println(dir)
	}
}

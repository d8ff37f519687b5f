package dns

import (
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxServers is how many servers are asked; libc asks three (resolv.conf(5)).
const maxServers = 8

// maxConf is how much of a resolv.conf is read, in bytes.
const maxConf = 64 << 10

// hostConf is what a resolv.conf says.
type hostConf struct {
	servers []netip.Addr
	search  []string // in lower case, without dots at the ends
}

// ParseResolvConf reads the servers and search domains of a resolv.conf. Lines that
// it does not understand are left out, as libc does.
func ParseResolvConf(text string) (servers []netip.Addr, search []string) {
	for line := range strings.Lines(text) {
		if i := strings.IndexAny(line, "#;"); i >= 0 {
			line = line[:i]
		}
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		switch f[0] {
		case "nameserver":
			a, err := netip.ParseAddr(f[1])
			if err == nil && len(servers) < maxServers && !slices.Contains(servers, a) && !a.IsMulticast() {
				servers = append(servers, a)
			}
		case "search", "domain": // the last one counts
			search = nil
			for _, d := range f[1:] {
				if d = strings.ToLower(strings.Trim(d, ".")); d != "" {
					search = append(search, d)
				}
			}
		}
	}
	return servers, search
}

// resolvConf is the present content of some files.
type resolvConf struct {
	paths []string

	mu   sync.Mutex
	now  hostConf
	seen []seen
}

// seen is what a file was like when it was read.
type seen struct {
	info os.FileInfo // nil: not there
	at   time.Time
}

// unsure is how long after a change a file may change again without another time.
const unsure = 50 * time.Millisecond

// read returns what the first file with servers says, read again if one of them has
// changed.
func (c *resolvConf) read() hostConf {
	c.mu.Lock()
	defer c.mu.Unlock()
	fresh := len(c.seen) == len(c.paths)
	for i := 0; fresh && i < len(c.paths); i++ {
		fresh = c.seen[i].still(c.paths[i])
	}
	if fresh {
		return c.now
	}
	c.now, c.seen = hostConf{}, make([]seen, len(c.paths))
	for i, path := range c.paths {
		c.seen[i].at = time.Now()
		c.seen[i].info, _ = os.Stat(path)
		if len(c.now.servers) > 0 {
			continue
		}
		servers, search := ParseResolvConf(readSome(path))
		c.now.servers = servers
		if len(c.now.search) == 0 {
			c.now.search = search
		}
	}
	return c.now
}

// still reports whether the file at path is as it was.
func (s seen) still(path string) bool {
	now, err := os.Stat(path)
	if err != nil || s.info == nil {
		return err != nil && s.info == nil
	}
	return os.SameFile(now, s.info) && now.ModTime().Equal(s.info.ModTime()) && now.Size() == s.info.Size() &&
		s.at.Sub(now.ModTime()) > unsure
}

func readSome(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxConf))
	if err != nil {
		return ""
	}
	return string(data)
}

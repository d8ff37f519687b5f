// Package containerfile reads the instructions of a Containerfile.
//
// Change applies single ones to an image's configuration, for the --change
// options of import and commit: those that only describe the image.
package containerfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/nook-containers/nook/pkg/problem"
)

// instructions that Change knows.
const instructions = "CMD ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL ONBUILD STOPSIGNAL USER VOLUME WORKDIR"

// Change applies one instruction, "CMD [\"sh\"]" or, as Podman also takes it,
// "CMD=[\"sh\"]", to c. The syntax is that of the Dockerfile reference.
func Change(c *v1.Config, line string) error {
	line = strings.TrimSpace(line)
	i := strings.IndexAny(line, " \t=")
	if i < 0 {
		return fmt.Errorf("change %q: want INSTRUCTION and its arguments", line)
	}
	name, args := strings.ToUpper(line[:i]), strings.TrimSpace(line[i+1:])
	if !slices.Contains(strings.Fields(instructions), name) {
		return problem.Hint(fmt.Errorf("change %q: unknown instruction %s", line, name), "use one of: %s", instructions)
	}
	if args == "" {
		return fmt.Errorf("change %q: %s needs arguments", line, name)
	}
	if strings.IndexByte(args, 0) >= 0 {
		return fmt.Errorf("change %q: holds a NUL byte", line)
	}
	if err := apply(c, name, args); err != nil {
		return fmt.Errorf("change %q: %w", line, err)
	}
	return nil
}

func apply(c *v1.Config, name, args string) error {
	switch name {
	case "CMD":
		c.Cmd = command(args)
	case "ENTRYPOINT":
		c.Entrypoint = command(args)
	case "ENV":
		return pairs(args, func(k, v string) { c.Env = setEnv(c.Env, k, v) })
	case "LABEL":
		return pairs(args, func(k, v string) { put(&c.Labels, k, v) })
	case "EXPOSE":
		return expose(c, args)
	case "HEALTHCHECK":
		return health(c, args)
	case "ONBUILD":
		c.OnBuild = append(c.OnBuild, args)
	case "STOPSIGNAL":
		c.StopSignal = args
	case "USER":
		c.User = args
	case "VOLUME":
		return volumes(c, args)
	case "WORKDIR":
		if !path.IsAbs(args) {
			args = path.Join("/", c.WorkingDir, args)
		}
		c.WorkingDir = path.Clean(args)
	}
	return nil
}

func put[V any](m *map[string]V, k string, v V) {
	if *m == nil {
		*m = map[string]V{}
	}
	(*m)[k] = v
}

// command reads the exec form, a JSON array, and the shell form, anything else.
func command(args string) []string {
	if list, ok := jsonList(args); ok {
		return list
	}
	return []string{"/bin/sh", "-c", args}
}

func jsonList(s string) ([]string, bool) {
	list := []string{}
	if !strings.HasPrefix(s, "[") || json.Unmarshal([]byte(s), &list) != nil {
		return nil, false
	}
	return list, true
}

func setEnv(env []string, key, value string) []string {
	env = slices.DeleteFunc(slices.Clone(env), func(e string) bool { return strings.HasPrefix(e, key+"=") })
	return append(env, key+"="+value)
}

// pairs reads KEY=VALUE words, or the old form "KEY the rest".
func pairs(args string, set func(k, v string)) error {
	words, err := split(args)
	if err != nil {
		return err
	}
	if !strings.Contains(words[0], "=") {
		key, value, ok := strings.Cut(args, " ")
		if !ok {
			return fmt.Errorf("%s: want KEY=VALUE", args)
		}
		set(key, strings.TrimSpace(value))
		return nil
	}
	for _, w := range words {
		k, v, ok := strings.Cut(w, "=")
		if !ok || k == "" {
			return fmt.Errorf("%s: want KEY=VALUE", w)
		}
		set(k, v)
	}
	return nil
}

// split cuts a line into words. Quotes keep spaces, and a backslash keeps the
// next character, but not between single quotes.
func split(s string) ([]string, error) {
	var words []string
	for s = strings.TrimLeft(s, " \t"); s != ""; s = strings.TrimLeft(s, " \t") {
		word, rest, err := cutWord(s)
		if err != nil {
			return nil, err
		}
		words, s = append(words, word), rest
	}
	if len(words) == 0 {
		return nil, errors.New("there are no words")
	}
	return words, nil
}

func cutWord(s string) (word, rest string, err error) {
	var w strings.Builder
	var quote byte
	i := 0
	for ; i < len(s); i++ {
		ch := s[i]
		switch {
		case ch == '\\' && quote != '\'' && i+1 < len(s):
			i++
			w.WriteByte(s[i])
		case quote != 0 && ch == quote:
			quote = 0
		case quote == 0 && (ch == '"' || ch == '\''):
			quote = ch
		case quote == 0 && (ch == ' ' || ch == '\t'):
			return w.String(), s[i:], nil
		default:
			w.WriteByte(ch)
		}
	}
	if quote != 0 {
		return "", "", fmt.Errorf("a quote %c is not closed", quote)
	}
	return w.String(), "", nil
}

// expose reads PORT[-PORT][/PROTOCOL] words.
func expose(c *v1.Config, args string) error {
	for word := range strings.FieldsSeq(args) {
		ports, proto, ok := strings.Cut(word, "/")
		if !ok {
			proto = "tcp"
		}
		if proto = strings.ToLower(proto); !slices.Contains([]string{"tcp", "udp", "sctp"}, proto) {
			return fmt.Errorf("%s: unknown protocol %q", word, proto)
		}
		from, to, ranged := strings.Cut(ports, "-")
		if !ranged {
			to = from
		}
		first, err1 := strconv.ParseUint(from, 10, 16)
		last, err2 := strconv.ParseUint(to, 10, 16)
		if err1 != nil || err2 != nil || first == 0 || last < first {
			return fmt.Errorf("%s: want a port from 1 to 65535, or two with a dash", word)
		}
		for p := first; p <= last; p++ {
			put(&c.ExposedPorts, fmt.Sprintf("%d/%s", p, proto), struct{}{})
		}
	}
	return nil
}

func volumes(c *v1.Config, args string) error {
	list, ok := jsonList(args)
	if !ok {
		list = strings.Fields(args)
	}
	for _, v := range list {
		if v == "" {
			return errors.New("the name of a volume is empty")
		}
		put(&c.Volumes, v, struct{}{})
	}
	return nil
}

// health reads "NONE" and "[--interval=D] … CMD command".
func health(c *v1.Config, args string) error {
	h := &v1.HealthConfig{}
	for strings.HasPrefix(args, "--") {
		flag, rest, _ := strings.Cut(args, " ")
		if err := healthFlag(h, flag); err != nil {
			return err
		}
		args = strings.TrimSpace(rest)
	}
	kind, rest, _ := strings.Cut(args, " ")
	rest = strings.TrimSpace(rest)
	switch strings.ToUpper(kind) {
	case "NONE":
		if rest != "" {
			return errors.New("NONE takes no arguments")
		}
		h.Test = []string{"NONE"}
	case "CMD":
		if rest == "" {
			return errors.New("CMD needs a command")
		}
		if list, ok := jsonList(rest); ok {
			h.Test = append([]string{"CMD"}, list...)
		} else {
			h.Test = []string{"CMD-SHELL", rest}
		}
	default:
		return fmt.Errorf("want NONE or CMD, not %q", kind)
	}
	c.Healthcheck = h
	return nil
}

func healthFlag(h *v1.HealthConfig, flag string) error {
	name, value, _ := strings.Cut(strings.TrimPrefix(flag, "--"), "=")
	if name == "retries" {
		n, err := strconv.ParseUint(value, 10, 31)
		if err != nil {
			return fmt.Errorf("--retries: %q is not a number", value)
		}
		h.Retries = int(n)
		return nil
	}
	to := map[string]*time.Duration{"interval": &h.Interval, "timeout": &h.Timeout, "start-period": &h.StartPeriod}[name]
	if to == nil {
		return fmt.Errorf("unknown option --%s", name)
	}
	d, err := time.ParseDuration(value)
	if err != nil || d < 0 {
		return fmt.Errorf("--%s: %q is not a duration", name, value)
	}
	*to = d
	return nil
}

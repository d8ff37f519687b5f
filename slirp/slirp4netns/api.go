package slirp4netns

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/nook-containers/nook/slirp"
)

// API is the control socket of a running slirp4netns (slirp4netns(1), "API SOCKET").
type API struct{ Socket string }

// Add publishes p, whose addresses are IPv4 ones, and returns what Remove wants to
// know.
func (a API) Add(ctx context.Context, p slirp.Port) (id int, err error) {
	host := "0.0.0.0"
	if p.HostIP.IsValid() {
		host = p.HostIP.String()
	}
	var answer struct {
		ID int `json:"id"`
	}
	err = a.call(ctx, "add_hostfwd", map[string]any{
		"proto": p.Proto.String(), "host_addr": host, "host_port": p.HostPort,
		"guest_addr": p.Guest[0].String(), "guest_port": p.GuestPort,
	}, &answer)
	return answer.ID, err
}

// Remove takes a port back.
func (a API) Remove(ctx context.Context, id int) error {
	return a.call(ctx, "remove_hostfwd", map[string]any{"id": id}, nil)
}

// call makes one request.
func (a API) call(ctx context.Context, name string, arguments map[string]any, result any) error {
	const patience = 5 * time.Second
	d := net.Dialer{Timeout: patience}
	c, err := d.DialContext(ctx, "unix", a.Socket)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	req, err := json.Marshal(map[string]any{"execute": name, "arguments": arguments})
	if err != nil {
		return err
	}
	if _, err := c.Write(req); err != nil {
		return err
	}
	if err := c.(*net.UnixConn).CloseWrite(); err != nil { //nolint:forcetypeassert // a unix connection
		return err
	}
	var answer struct {
		Return json.RawMessage `json:"return"`
		Error  *struct {
			Desc string `json:"desc"`
		} `json:"error"`
	}
	if err := json.NewDecoder(io.LimitReader(c, 1<<20)).Decode(&answer); err != nil {
		return fmt.Errorf("%s: answer: %w", name, err)
	}
	if answer.Error != nil {
		return fmt.Errorf("%s: %s", name, answer.Error.Desc)
	}
	if result == nil || answer.Return == nil {
		return nil
	}
	return json.Unmarshal(answer.Return, result)
}

package image

import (
	"strings"
	"time"

	"github.com/nook-containers/nook/pkg/store"
	"github.com/nook-containers/nook/pkg/units"
)

const none = "<none>"

// row is what templates of "nook images" see: one name of an image.
type row struct {
	Repository, Tag      string
	ID, Id               string //nolint:staticcheck // both names are in use
	Created              string // as CreatedSince
	CreatedAt            string
	CreatedSince         string
	CreatedTime          string
	Size, VirtualSize    string
	SharedSize           string
	Digest               string
	RepoTags             []string
	RepoDigests, Names   []string
	Labels               map[string]string
	Containers           int
	ParentId             string //nolint:staticcheck // the field's name elsewhere
	History              string
	Dangling, IsDangling bool
	ReadOnly, IsReadOnly bool

	l *listed
}

func makeRows(all []*listed, o listOptions, now time.Time) []*row {
	var rows []*row
	for _, l := range all {
		if !l.named() {
			rows = append(rows, newRow(l, none, none, o, now))
		}
		for _, name := range l.Names {
			repo, tag := store.SplitName(name)
			if tag == "" || strings.Contains(tag, ":") {
				tag = none
			}
			rows = append(rows, newRow(l, repo, tag, o, now))
		}
	}
	return rows
}

func newRow(l *listed, repo, tag string, o listOptions, now time.Time) *row {
	id := l.ID[:12]
	if o.noTrunc {
		id = "sha256:" + l.ID
	}
	r := &row{
		Repository: repo, Tag: tag, ID: id, Id: id,
		CreatedAt: l.Created.UTC().Format("2006-01-02 15:04:05 -0700 MST"), CreatedTime: l.Created.UTC().Format(time.RFC3339),
		CreatedSince: units.Ago(now.Sub(l.Created)),
		Size:         units.Size(l.Size), SharedSize: "0 B",
		Digest: l.Digest, RepoTags: l.Names, RepoDigests: l.RepoDigests, Names: l.Names,
		Labels: l.labels, Containers: l.users, ParentId: l.parent,
		History:  strings.Join(l.OldNames, ", "),
		Dangling: !l.named(), IsDangling: !l.named(), ReadOnly: l.ReadOnly, IsReadOnly: l.ReadOnly,
		l: l,
	}
	r.Created, r.VirtualSize = r.CreatedSince, r.Size
	return r
}

// Label returns one label's value.
func (r *row) Label(key string) string { return r.Labels[key] }

// summary is an image in the output of --format json, with Podman's names.
type summary struct {
	ID          string `json:"Id"`
	ParentID    string `json:"ParentId"`
	RepoTags    []string
	RepoDigests []string
	Size        int64
	SharedSize  int64
	VirtualSize int64
	Labels      map[string]string
	Containers  int
	ReadOnly    bool `json:",omitempty"`
	Dangling    bool `json:",omitempty"`
	Names       []string
	Digest      string
	History     []string
	Created     int64
	CreatedAt   time.Time
}

func summaries(all []*listed) []summary {
	out := make([]summary, 0, len(all))
	for _, l := range all {
		out = append(out, summary{
			ID: l.ID, ParentID: l.parent, RepoTags: l.Names, RepoDigests: l.RepoDigests,
			Size: l.Size, VirtualSize: l.Size, Labels: l.labels, Containers: l.users,
			ReadOnly: l.ReadOnly, Dangling: !l.named(), Names: l.Names, Digest: l.Digest,
			History: l.OldNames, Created: l.Created.Unix(), CreatedAt: l.Created.UTC(),
		})
	}
	return out
}

package cmdutil

import (
	"context"
	"errors"
	"os"

	"github.com/nook-containers/nook/pkg/registry"
	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/userns"
)

// Descriptors of the pipes to the process outside, which runs credential helpers.
const (
	helperQuestionsFD = userns.FirstFD
	helperAnswersFD   = userns.FirstFD + 1
)

// hostHelpers is the end of those pipes outside.
type hostHelpers struct {
	child              []*os.File // for userns.Options.Files
	questions, answers *os.File
}

func newHostHelpers() (*hostHelpers, error) {
	qr, qw, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	ar, aw, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, qr.Close(), qw.Close())
	}
	return &hostHelpers{child: []*os.File{qw, ar}, questions: qr, answers: aw}, nil
}

// serve runs helpers for the child until it ends. Call it once the child has its
// descriptors.
func (h *hostHelpers) serve(ctx context.Context) {
	h.closeChild()
	go func() {
		// The child reports what goes wrong: its question gets no answer.
		_ = registry.ServeHelpers(ctx, h.questions, h.answers, registry.RunHelper)
		h.questions.Close()
		h.answers.Close()
	}()
}

func (h *hostHelpers) closeChild() {
	for _, f := range h.child {
		f.Close()
	}
	h.child = nil
}

// close is for a child that did not start.
func (h *hostHelpers) close() {
	h.closeChild()
	h.questions.Close()
	h.answers.Close()
}

// CredentialHelper runs credential helpers where the user's session is: outside
// the user namespace, where a keyring recognizes the user's uid. Only inside; the
// pipes never reach another program.
func (f *Factory) CredentialHelper() registry.HelperFunc {
	if f.helper != nil {
		return f.helper
	}
	for _, fd := range []int{helperQuestionsFD, helperAnswersFD} {
		if err := sys.SetCloseOnExec(fd, true); err != nil {
			return nil // started some other way: run them here
		}
	}
	f.helper = registry.AskHelpers(os.NewFile(helperQuestionsFD, "helper questions"), os.NewFile(helperAnswersFD, "helper answers"))
	return f.helper
}

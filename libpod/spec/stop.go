package spec

// DefaultStopSignal ends a container when neither user nor image chose one.
const DefaultStopSignal = "SIGTERM"

// StopSignal is the signal that asks the container to end.
func StopSignal(c Container, img ImageConfig) string {
	for _, s := range []string{c.StopSignal, img.StopSignal} {
		if s != "" {
			return s
		}
	}
	return DefaultStopSignal
}

package container

import (
	"crypto/rand"
	"encoding/hex"
	mathrand "math/rand/v2"
)

// NewID returns 64 random hex digits, which name containers and anonymous volumes.
func NewID() string {
	b := make([]byte, 32)
	rand.Read(b) // never fails (crypto/rand)
	return hex.EncodeToString(b)
}

// randomName makes a name that is easy to type and to tell from others. The
// caller tries again where it is taken.
func randomName() string {
	moods := [...]string{
		"amber", "brave", "calm", "clever", "crisp", "eager", "early", "fair", "fond", "gentle", "glad", "golden", "handy",
		"happy", "honest", "humble", "keen", "kind", "light", "lively", "loyal", "lucky", "mellow", "merry", "mild", "neat",
		"nimble", "patient", "plain", "proud", "quick", "quiet", "ready", "rosy", "sharp", "shy", "silent", "silver",
		"snug", "steady", "sunny", "swift", "tidy", "vivid", "warm", "wise", "witty", "young",
	}
	things := [...]string{
		"acorn", "alcove", "anchor", "attic", "badger", "barn", "beacon", "bench", "birch", "brook", "cabin", "cedar",
		"cellar", "cove", "cradle", "den", "dune", "fern", "finch", "fjord", "garden", "grove", "harbor", "hazel", "hearth",
		"heron", "hollow", "inlet", "ivy", "lantern", "larder", "lodge", "loft", "maple", "meadow", "mill", "nest", "niche",
		"orchard", "otter", "pantry", "pebble", "pond", "porch", "robin", "shed", "shelf", "spruce", "thicket", "willow",
	}
	return moods[mathrand.IntN(len(moods))] + "_" + things[mathrand.IntN(len(things))] //nolint:gosec // not a secret
}

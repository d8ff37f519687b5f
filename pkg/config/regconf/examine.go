package regconf

import (
	"fmt"

	"github.com/nook-containers/nook/pkg/doctor"
)

// Examine is what "nook doctor" says about registries.conf, auth.json and
// policy.json. It reads those that a pull would read.
func Examine(*doctor.Host) []doctor.Result {
	const check, means = "registries", "No image can be pulled."
	var all []doctor.Result
	if _, err := LoadRegistries(); err != nil {
		all = append(all, doctor.FromError(check, doctor.Problem, err, means))
	}
	if _, err := LoadAuth(""); err != nil {
		all = append(all, doctor.FromError(check, doctor.Problem, err, means))
	}
	policy, err := LoadPolicy()
	found := fmt.Sprintf("signatures as %s says", policy.Path)
	switch {
	case err != nil:
		all = append(all, doctor.FromError(check, doctor.Problem, err, means))
	case policy.Path == "":
		found = "no policy.json, so images are taken from every registry"
	}
	if len(all) == 0 {
		all = append(all, doctor.Fine(check, "%s", found))
	}
	return all
}

// Package cgroups keeps containers in control groups, version 2 (kernel doc
// "Control Group v2").
//
// # Theory of operation
//
// A control group is a directory of the cgroup2 file system. A user may make some
// below a directory that is theirs (delegation), may move processes between two
// groups whose common ancestor is theirs too, and may have a process born in one
// (clone3(2), CLONE_INTO_CGROUP), under the same condition. Find says where this
// process is and what of the tree is its user's.
//
// What a group can limit depends on its ancestors: a controller that is in
// cgroup.controllers of a directory is there for its children once it is written
// to cgroup.subtree_control, which the kernel allows only in a directory without
// processes of its own. Freezing, killing, counting processor time and knowing
// whether anybody is in it (cgroup.freeze, cgroup.kill, cpu.stat, cgroup.events)
// need no controller.
//
// A container has one group. Who looks after the container holds a flock(2) on the
// group's directory, which ends with that process: a group of ours that nobody
// holds is a left-over, and Sweep removes it. So nothing is on disk about it, and
// nothing is wrong after a crash.
//
// The limits are a plan (package limits), a list of files and values; Set writes
// them.
package cgroups

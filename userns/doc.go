// Package userns plans and enters the user namespace that stands in for root.
//
// # Theory of operation
//
// A user has one such namespace at a time. Network devices, and namespaces that
// containers share, must belong to the same user namespace: between siblings the
// kernel answers EPERM, even where their maps are equal. So Start lets the new
// process join the namespace of any live nook process of the user, and creates
// one only where there is none. There is no pause process, no pid file, and
// nothing to clean up: who is in the namespace is known by locks, which end with
// the process that holds them, also with SIGKILL and with the power.
//
// Three files in Options.RunDir, all empty:
//
//	userns.members  every member holds a shared record lock (fcntl(2), F_SETLK).
//	                F_GETLK names the pid of one, and /proc/PID/ns/user is the
//	                namespace.
//	userns.lock     flock(2): shared from looking for a member until the new
//	                process is one, exclusive while there is none and one is made.
//	userns.create   flock(2): who of those that found no member may want the
//	                exclusive lock.
//
// Start does this:
//
//  1. Lock userns.lock shared. A member is there: open its namespace, check that
//     the same process still is a member, that the user owns the namespace and
//     that it is a child of our own. Fork, setns, unshare the mount namespace,
//     execve (sys.NSFork).
//  2. No member: let go, lock userns.create, lock userns.lock shared, look again
//     (others may have been faster), lock userns.lock exclusively (which waits for
//     joiners under way), look again, and create the namespace: clone with ambient
//     capabilities, so that the program boots while newuidmap and newgidmap write
//     the maps (package sys, NSFork.Ambient). Only one process at a time waits for
//     the exclusive lock, so a crowd of first starts joins in parallel as soon as
//     the namespace is there.
//  3. In both cases send the new process a message over the socket that it has as
//     descriptor 3. With the message go the open files userns.members and
//     userns.lock. The process makes the first its descriptor MemberFD, takes the
//     record lock, and drops the flock. If it dies before, the kernel drops the
//     flock when the socket goes: the lock is never left behind, whoever dies.
//
// A member that dies between steps does no harm: the open namespace file keeps
// the namespace alive, and the shared lock keeps anyone else from creating one.
//
// A record lock belongs to the process, survives execve, and is lost when the
// process closes *any* descriptor of the file. Hence MemberFD stays open for
// life, and a member never opens userns.members again: its own children get
// MemberFD passed on. flock is another lock on another file, because NFS turns
// flock into record locks.
//
// A live namespace keeps its map: ids that /etc/subuid gained count from the
// first start on that finds no member, that is, after the last container ended.
//
// No namespace is created where this process may already work in the one it is
// in: root on the host, and root with CAP_SYS_ADMIN in a container or under
// unshare(1). The new process then gets a mount namespace only, and is a member
// exactly if this one is.
package userns

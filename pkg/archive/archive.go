// Package archive unpacks and packs layers, and reads image archives.
//
// # Theory of operation
//
// A layer is a tar stream, often compressed, written by a stranger. Unpack does
// in one pass what the store needs of it: one goroutine decompresses, one hashes,
// one writes files; the record of everything in the tar that is not file content
// (tar-split) comes out of the same pass, so the layer can be put together again
// byte for byte.
//
// Nothing in a layer leads out of its directory. The directory is the root for
// every name in the tar: sys.Tree resolves the parent of each entry with
// openat2(2), and the entry itself is made by a call that does not follow links
// and does not replace what is there. Names are bytes. Marks by which a layer
// could speak to the overlay file system or to containers/storage as if it were
// one of them (attributes of trusted, user.overlay and user.containers) are
// dropped. Device nodes are left out: a user namespace cannot make them.
//
// Whiteouts (image-spec, layer.md, "Whiteouts") become what overlay expects: a
// character device 0/0, or the attribute user.overlay.opaque. They hide what
// lower layers have, never what the same layer has.
//
// Packer is the way back: it writes files that are found in open directories, and
// Tarball.On puts such a tar on another image as its last layer.
//
// Archives of images (docker save, OCI layouts) are read by OpenArchive, which
// gives v1.Image for the store to take.
package archive

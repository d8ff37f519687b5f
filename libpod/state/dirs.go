package state

// DataDir returns the durable root of the store that the container is in.
func (c *Container) DataDir() string { return c.store.Dir }

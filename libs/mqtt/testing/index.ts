/** The door for tests. */

/** The door of this library. */

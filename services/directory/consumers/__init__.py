"""Events of other services. The directory consumes none: everybody else depends on it."""

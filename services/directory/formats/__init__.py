"""Files of other systems, read a row at a time in constant memory."""

"""What an export is: pure, without any input or output."""

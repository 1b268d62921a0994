"""Other services behind functions of ours. The directory is asked through its replica alone."""

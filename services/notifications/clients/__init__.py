"""Other services behind functions of ours."""

"""How far an installation is what the paper describes: its rows, what is looked at for each, and the stack decision."""

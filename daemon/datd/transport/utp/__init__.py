"""uTP: reliable streams over UDP that give way to other traffic."""

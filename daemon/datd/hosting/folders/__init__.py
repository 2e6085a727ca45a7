"""Where the files of archives lie, and folders of people."""

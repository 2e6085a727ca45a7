"""Files and folders in two feeds."""

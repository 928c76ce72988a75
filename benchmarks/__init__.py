"""What Pixels is measured against: each module is one row of the table that `make bench` prints."""

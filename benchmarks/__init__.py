"""What Pixels is measured against: modules measure the rows of the table that `make bench` prints."""

"""What every supervisor and proxy must do, whatever it is: real deploys on a real host."""

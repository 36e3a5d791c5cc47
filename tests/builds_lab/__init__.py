"""Real repositories, packages and servers for the tests of builds."""

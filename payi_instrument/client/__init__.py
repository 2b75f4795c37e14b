"""The client of a Pay-i compatible meter, over the network or in process."""

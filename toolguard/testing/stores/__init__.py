"""What tests of stores are made of: real servers to start and to kill, and the rules that every store keeps."""

"""Programs of one rank on torch.distributed, of any vendor's backend; started as torchrun does."""

"""The reference product: will a flight out of New York arrive late, asked two hours before it is to leave."""

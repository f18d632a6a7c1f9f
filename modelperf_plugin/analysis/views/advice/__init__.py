"""What an operator should change: findings over a store, each with its evidence, the change and its expected effect."""

"""What the stages share: settings, the dataset, image files and the walk over a batch."""

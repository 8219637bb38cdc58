"""What several tests use: phantoms made small, DICOM and pages to look at, trainings that are short."""

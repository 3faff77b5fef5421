package config

// Limits that no sensible configuration meets, so that a broken or hostile file is
// refused instead of filling memory.
const (
	maxFileSize    = 1 << 20   // bytes of one file
	maxSecretSize  = 64 << 10  // bytes that @file.read returns
	maxFiles       = 64        // with all imports
	maxImportDepth = 8         // of files that import files
	maxDepth       = 32        // of blocks and lists in each other
	maxReferences  = 64        // that lead on to each other
	maxWeight      = 1_000_000 // values, and each 16 bytes of text, after references are copied in
	maxProblems    = 50        // that are kept
)

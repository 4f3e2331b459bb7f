"""Model servers that a job starts for itself, and stops whatever happens (captions and answers at scale)."""

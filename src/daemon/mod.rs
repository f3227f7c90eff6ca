//! Builds, starts, runs and stops the road. The only folder that knows all others.

//! Tags of activities and state machines.

use jiff::Timestamp;

use super::{
    ApiError, Engine, Tags,
    names::{check_arn_length, check_tags},
};

impl Engine {
    /// TagResource: adds tags, replacing the values of keys that are there.
    pub fn tag_resource(&mut self, arn: &str, tags: Tags, now: Timestamp) -> Result<(), ApiError> {
        self.tick(now);
        let present = self.tags_mut(arn)?;
        let mut merged = present.clone();
        merged.extend(tags);
        check_tags(&merged)?;
        *present = merged;
        Ok(())
    }

    /// UntagResource. Keys that are not there are no error.
    pub fn untag_resource(&mut self, arn: &str, keys: &[String], now: Timestamp) -> Result<(), ApiError> {
        self.tick(now);
        let tags = self.tags_mut(arn)?;
        for key in keys {
            tags.remove(key);
        }
        Ok(())
    }

    /// ListTagsForResource.
    pub fn list_tags(&mut self, arn: &str, now: Timestamp) -> Result<Tags, ApiError> {
        self.tick(now);
        self.tags_mut(arn).cloned()
    }

    fn tags_mut(&mut self, arn: &str) -> Result<&mut Tags, ApiError> {
        check_arn_length(arn)?;
        if !arn.starts_with("arn:") {
            return Err(ApiError::new("InvalidArn", format!("Invalid Arn: 'Invalid ARN prefix: {arn}'")));
        }
        let missing = || ApiError::new("ResourceNotFound", format!("Resource not found: '{arn}'"));
        if let Some(activity) = self.world.activities.get_mut(arn) {
            return Ok(&mut activity.tags);
        }
        self.machines.get_mut(arn).map(|machine| &mut machine.tags).ok_or_else(missing)
    }
}

//! The table `[prompts]`: the questions, and the text that the policy reads.

use std::path::PathBuf;

use alft_policy::Message;
use serde::{Deserialize, Serialize};

use super::source::InvalidSetting;

/// The questions.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prompts {
    /// JSON lines to train on.
    pub train: PathBuf,
    /// JSON lines kept out of training, for the evaluation before and after.
    pub eval: Option<PathBuf>,
    /// The text that the policy reads, in which `{prompt}` stands for the question; or `chat`, the model's chat template.
    #[serde(default = "bare_template")]
    pub template: String,
    /// With the chat template: the message of the system, before all others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// With the chat template: messages between that of the system and the question, such as solved examples.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<Message>,
    /// With the chat template: further variables of the template.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub chat_template_kwargs: serde_json::Map<String, serde_json::Value>,
    /// With the chat template: the date that it is told, such as `2024-07-26`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
}

impl Prompts {
    /// The value of `template` that stands for the model's chat template.
    pub(crate) const CHAT: &str = "chat";

    /// Finds the first setting that cannot work.
    pub(super) fn check(&self) -> Result<(), InvalidSetting> {
        let wrong = |key: &str, reason: &str| Err(InvalidSetting::new(key, reason));
        let Prompts { template, system, messages, chat_template_kwargs, date, .. } = self;
        if template != Prompts::CHAT {
            if !template.contains("{prompt}") {
                let reason = "must contain {prompt}, or no question reaches the policy, or be \"chat\"";
                return wrong("prompts.template", reason);
            }
            let of_chat = [
                ("prompts.system", system.is_some()),
                ("prompts.messages", !messages.is_empty()),
                ("prompts.chat_template_kwargs", !chat_template_kwargs.is_empty()),
                ("prompts.date", date.is_some()),
            ];
            if let Some((key, _)) = of_chat.iter().find(|(_, given)| *given) {
                return wrong(key, "needs `template = \"chat\"`");
            }
        }
        Ok(())
    }
}

fn bare_template() -> String {
    "{prompt}".into()
}

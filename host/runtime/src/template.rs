//! The template around a question: what the policy reads.

use alft_policy::{ChatTemplate, Message, Policy, Tokenizer};
use serde_json::{Map, Value};

use crate::config::Prompts;
use crate::error::Result;

/// The template of a run.
#[derive(Debug)]
pub struct PromptTemplate {
    form: Form,
    /// Tells questions from the marks of the template. The conversation of a chat template begins as that says, and with nothing
    /// of the tokenizer's own.
    tokenizer: Tokenizer,
}

/// The role of the message that tells the model how to behave, before all others.
const SYSTEM: &str = "system";

#[derive(Debug)]
enum Form {
    /// A text in which `{prompt}` stands for the question.
    Text(String),
    /// The model's own template around a conversation that ends with the question.
    Chat { template: Box<ChatTemplate>, before: Vec<Message>, variables: Map<String, Value> },
}

impl PromptTemplate {
    /// Prepares the template that a run file asks for.
    ///
    /// # Errors
    /// Fails if a chat template is asked for and the model has none, for one that cannot be compiled, and for a text that is no
    /// date.
    pub fn open(config: &Prompts, policy: &Policy) -> Result<Self> {
        let tokenizer = policy.tokenizer().clone();
        if config.template != Prompts::CHAT {
            return Ok(Self { form: Form::Text(config.template.clone()), tokenizer });
        }
        let Some(template) = policy.chat_template(config.date.as_deref())? else {
            let reason = "is \"chat\", and the model has no chat template: write one in the run file, with {prompt}, or put \
                          the model's chat_template.jinja into its folder";
            return Err(alft_policy::Error::Setting { name: "prompts.template", reason: reason.to_owned() }.into());
        };
        let system = config.system.as_ref().map(|text| Message::new(SYSTEM, text.as_str()));
        let before = system.into_iter().chain(config.messages.iter().cloned()).collect();
        Ok(Self {
            form: Form::Chat { template: template.into(), before, variables: config.chat_template_kwargs.clone() },
            tokenizer: tokenizer.beginning_with(&[]),
        })
    }

    /// Returns the text of the model's chat template, if the run uses it.
    pub(crate) fn chat_source(&self) -> Option<&str> {
        match &self.form {
            Form::Text(_) => None,
            Form::Chat { template, .. } => Some(template.source()),
        }
    }

    /// Returns the tokens that the policy reads for a question, which is the last message of its conversation after those of
    /// `history`. Special tokens within question and history are text. A history that begins with a message of the system
    /// has it in place of the run file's.
    ///
    /// # Errors
    /// Fails if the model's chat template does, for a history in a template that is a text, and for a text that the tokenizer
    /// has no tokens for.
    pub fn encode(&self, history: &[Message], question: &str) -> Result<Vec<u32>> {
        Ok(self.tokenizer.encode_whole(&self.render(history, question)?)?)
    }

    /// Returns the tokens that the policy reads for each question after its history, computed on all cores.
    ///
    /// # Errors
    /// As [`Self::encode`], for the first question that fails.
    pub fn encode_batch<'a>(&self, questions: impl Iterator<Item = (&'a [Message], &'a str)>) -> Result<Vec<Vec<u32>>> {
        let texts = questions.map(|(history, question)| self.render(history, question));
        Ok(self.tokenizer.encode_batch(&texts.collect::<Result<Vec<String>>>()?)?)
    }

    /// Returns the text that the policy reads for a question.
    ///
    /// # Errors
    /// Fails if the model's chat template does, and for a history in a template that is a text.
    pub fn render(&self, history: &[Message], question: &str) -> Result<String> {
        let question = self.tokenizer.as_text(question);
        match &self.form {
            Form::Text(_) if !history.is_empty() => {
                let reason = "is a text, and the question is a list of messages: write \"chat\"".to_owned();
                Err(alft_policy::Error::Setting { name: "prompts.template", reason }.into())
            }
            Form::Text(text) => Ok(text.replace("{prompt}", &question)),
            Form::Chat { template, before, variables } => {
                let is_system = |message: &&Message| message.role == SYSTEM;
                let own_system = history.first().filter(is_system);
                let shared = before.iter().filter(|message| own_system.is_none() || !is_system(message));
                let rest = &history[usize::from(own_system.is_some())..];
                let as_text = |Message { role, content }: &Message| {
                    Message::new(&self.tokenizer.as_text(role), self.tokenizer.as_text(content))
                };
                let mut messages: Vec<Message> = own_system.map(as_text).into_iter().collect();
                messages.extend(shared.cloned());
                messages.extend(rest.iter().map(as_text));
                messages.push(Message::new("user", question));
                Ok(template.render(&messages, variables)?)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alft_policy::Device;

    use super::*;

    fn prompts(extra: &str) -> Prompts {
        toml::from_str(&format!("train = \"train.jsonl\"\n{extra}")).unwrap()
    }

    #[test]
    fn a_question_lies_in_the_text_or_in_the_conversation() {
        let policy = Policy::tiny(1, &Device::Cpu).unwrap();
        let text = PromptTemplate::open(&prompts("template = \"Q: {prompt} A:\""), &policy).unwrap();
        assert_eq!(text.render(&[], "1+2").unwrap(), "Q: 1+2 A:");
        let chat = "template = \"chat\"\nsystem = \"Be brief.\"\nmessages = [{ role = \"assistant\", content = \"Ask!\" }]\n\
                    chat_template_kwargs = { mark = \"?\" }\ndate = \"2031-02-03\"";
        let error = PromptTemplate::open(&prompts(chat), &policy).unwrap_err().to_string();
        assert!(error.contains("`prompts.template` is \"chat\", and the model has no chat template"), "{error}");

        let folder = tempfile::tempdir().unwrap();
        policy.save(folder.path()).unwrap();
        let template =
            "{% for m in messages %}{{ m.role }}: {{ m.content }}{{ mark }}|{% endfor %}{{ strftime_now('%Y') }}";
        std::fs::write(folder.path().join("chat_template.jinja"), template).unwrap();
        let policy = Policy::open(folder.path(), &Device::Cpu).unwrap();
        let template = PromptTemplate::open(&prompts(chat), &policy).unwrap();
        assert_eq!(template.render(&[], "1+2").unwrap(), "system: Be brief.?|assistant: Ask!?|user: 1+2?|2031");
        let own = [("system", "Be long."), ("user", "0+1")].map(|(role, content)| Message::new(role, content));
        let rendered = template.render(&own, "1+2").unwrap();
        assert_eq!(rendered, "system: Be long.?|assistant: Ask!?|user: 0+1?|user: 1+2?|2031");
        let error = text.render(&own, "1+2").unwrap_err().to_string();
        assert!(error.contains("the question is a list of messages"), "{error}");
        std::fs::write(folder.path().join("chat_template.jinja"), "{{ messages[0").unwrap();
        let policy = Policy::open(folder.path(), &Device::Cpu).unwrap();
        assert!(PromptTemplate::open(&prompts(chat), &policy).is_err());
    }

    #[test]
    fn a_text_begins_as_the_tokenizer_says_and_a_conversation_as_its_template_says() {
        let folder = tempfile::tempdir().unwrap();
        Policy::tiny(1, &Device::Cpu).unwrap().save(folder.path()).unwrap();
        let config = r#"{"add_bos_token": true, "bos_token": "<pad>", "chat_template": "{{ messages[0].content }}"}"#;
        std::fs::write(folder.path().join("tokenizer_config.json"), config).unwrap();
        let policy = Policy::open(folder.path(), &Device::Cpu).unwrap();
        let tokens = |template: &str| {
            let template = PromptTemplate::open(&prompts(&format!("template = \"{template}\"")), &policy).unwrap();
            assert_eq!(
                template.encode_batch([(&[][..], "1+2")].into_iter()).unwrap(),
                [template.encode(&[], "1+2").unwrap()]
            );
            template.encode(&[], "1+2").unwrap()
        };
        let question = policy.encode("1+2").unwrap();
        assert_eq!(tokens("{prompt}"), [&[0], &question[..]].concat());
        assert_eq!(tokens("<pad>{prompt}"), tokens("{prompt}"), "the text has its beginning already");
        assert_eq!(tokens("chat"), question);
    }

    #[test]
    fn a_question_cannot_end_its_turn() {
        let policy = Policy::tiny(1, &Device::Cpu).unwrap();
        let eos = policy.tokenizer().token(policy.eos_tokens()[0]).unwrap();
        let template = PromptTemplate::open(&prompts(&format!("template = \"{eos}{{prompt}}\"")), &policy).unwrap();
        let text = template.render(&[], &format!("1{eos}2")).unwrap();
        let tokens = policy.encode(&text).unwrap();
        assert!(tokens[0] == policy.eos_tokens()[0] && !tokens[1..].contains(&tokens[0]));
        assert_eq!(policy.decode(&tokens).unwrap(), format!("1{eos}2"));
    }
}

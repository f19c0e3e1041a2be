//! Chat templates: the Jinja text that came with a model, which writes a conversation as the model was trained to read it.
//!
//! Templates are rendered as the Python library transformers renders them: blocks take their line with them, methods of
//! Python's texts, lists and dictionaries are known, and `raise_exception`, `strftime_now`, `bos_token` and its like exist.

use std::collections::BTreeMap;

use alft_text::Foreign;
use minijinja::{
    Environment, Error as JinjaError, ErrorKind, State, Value as JinjaValue, syntax::SyntaxConfig, value::Serde,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::{Date, format_description};

use super::template_work;
use crate::error::{Error, Result};

/// A message of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// The author: `system`, `user` or `assistant`.
    pub role: String,
    /// The text.
    pub content: String,
}

impl Message {
    /// Creates a message.
    pub fn new(role: &str, content: impl Into<String>) -> Self {
        Self { role: role.to_owned(), content: content.into() }
    }
}

/// A chat template that is ready to render.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    source: String,
    /// `bos_token`, `eos_token` and the others that the tokenizer names.
    tokens: BTreeMap<String, String>,
}

/// Steps that a template may take, which bounds its time and memory: a template comes from a stranger. A step pays for 64 bytes.
const FUEL: u64 = 1_000_000;

/// The text of a question that a template is tried with.
const PROBE: &str = "zyzzyva";

/// The name of the only template in the environment.
const NAME: &str = "chat";

/// The date that templates are told unless another is asked for: a run is then the same on every day.
const DATE: (i32, time::Month, u8) = (2024, time::Month::July, 26);

impl ChatTemplate {
    /// Compiles a template. `tokens` are the tokens that it may name, such as `bos_token`. `date`, as `2024-07-26`, is the one
    /// that it is told.
    ///
    /// # Errors
    /// [`Error::ChatTemplate`] for a text that is no template. [`Error::Setting`] for a text that is no date.
    pub(crate) fn new(source: &str, tokens: BTreeMap<String, String>, date: Option<&str>) -> Result<Self> {
        let date = date.map_or_else(default_date, parse_date)?;
        let failed = |source| Error::ChatTemplate { action: "compiled", source };
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(failed)?;
        environment.set_syntax(syntax);
        environment.set_fuel(Some(FUEL));
        template_work::add(&mut environment);
        environment.add_function("raise_exception", |state: &State, message: &JinjaValue| {
            template_work::pay_for_text(state, message, 0)?;
            Err::<String, _>(JinjaError::new(ErrorKind::InvalidOperation, message.to_string()))
        });
        // In Python nothing can be iterated in `None`, which is how templates tell that there are no tools.
        environment.add_test("iterable", |value: &JinjaValue| !value.is_none() && value.try_iter().is_ok());
        environment.add_function("strftime_now", move |format: &str| strftime(date, format));
        environment.add_template_owned(NAME, without_generation_marks(source)).map_err(failed)?;
        Ok(Self { environment, source: source.to_owned(), tokens })
    }

    /// Fails for a template that writes conversations without the question, such as a page that a download left: a policy would
    /// learn to answer questions that it never read. `place` is where the template comes from. A template that refuses the
    /// question is left to [`Self::render`], whose conversations may have the messages that it asks for.
    ///
    /// # Errors
    /// [`Error::TemplateWithoutQuestion`].
    pub(crate) fn check_keeps_questions(&self, place: &'static str) -> Result<()> {
        let question = Message::new("user", PROBE);
        let conversations = [vec![question.clone()], vec![Message::new("system", "a"), question]];
        let written = conversations.iter().filter_map(|messages| self.render(messages, &Map::new()).ok());
        let mut kept = written.map(|text| text.to_lowercase().contains(PROBE)).peekable();
        if kept.peek().is_some() && !kept.any(|kept| kept) {
            return Err(Error::TemplateWithoutQuestion { place });
        }
        Ok(())
    }

    /// Returns the template's text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Writes a conversation, up to the point where the model goes on. `variables` are further ones of the template, such as
    /// `enable_thinking`.
    ///
    /// # Errors
    /// [`Error::ChatTemplate`] if the template fails, for example because it refuses a role.
    pub fn render(&self, messages: &[Message], variables: &Map<String, Value>) -> Result<String> {
        let mut context: Map<String, Value> =
            self.tokens.iter().map(|(name, token)| (name.clone(), Value::from(token.as_str()))).collect();
        context.insert("add_generation_prompt".to_owned(), true.into());
        // Templates ask for these by name, and tell none from missing.
        context.extend(["tools", "documents"].map(|name| (name.to_owned(), Value::Null)));
        context.extend(variables.clone());
        let messages =
            messages.iter().map(|message| serde_json::json!({"role": message.role, "content": message.content}));
        context.insert("messages".to_owned(), messages.collect());
        let context = JinjaValue::from(Serde(context));
        let rendered = self.environment.get_template(NAME).and_then(|template| template.render(context));
        rendered.map_err(|source| Error::ChatTemplate { action: "rendered", source })
    }
}

/// Replaces the tags around a model's own words, which trainers in Python read, by ones that do nothing.
fn without_generation_marks(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let Some(length) = rest[start..].find("%}") else { break };
        let (before, tag) = (&rest[..start], &rest[start..start + length + 2]);
        let name = tag.trim_matches(['{', '}', '%', '-', '+', ' ', '\n']);
        let instead = match name {
            "generation" => tag.replace(name, "if true"),
            "endgeneration" => tag.replace(name, "endif"),
            _ => tag.to_owned(),
        };
        text.push_str(before);
        text.push_str(&instead);
        rest = &rest[start + length + 2..];
    }
    text.push_str(rest);
    text
}

fn default_date() -> Result<Date> {
    Date::from_calendar_date(DATE.0, DATE.1, DATE.2).map_err(|error| Error::setting("date", error.to_string()))
}

fn parse_date(text: &str) -> Result<Date> {
    let wrong = || {
        Error::setting("date", format!("is `{text}`; it must be a date such as 2024-07-26", text = Foreign::new(&text)))
    };
    let format = format_description::parse_borrowed::<2>("[year]-[month]-[day]").map_err(|_| wrong())?;
    Date::parse(text, &format).map_err(|_| wrong())
}

/// Writes a date, at midnight, in the format of C's `strftime`.
fn strftime(date: Date, format: &str) -> std::result::Result<String, JinjaError> {
    let failed = |error: String| JinjaError::new(ErrorKind::InvalidOperation, format!("strftime_now: {error}"));
    let format = format_description::parse_strftime_owned(format).map_err(|error| failed(error.to_string()))?;
    date.midnight().assume_utc().format(&format).map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::model::tokenizer::Tokenizer;

    fn template(source: &str) -> ChatTemplate {
        let tokens = [("bos_token".to_owned(), "<s>".to_owned())].into();
        ChatTemplate::new(source, tokens, None).unwrap()
    }

    #[test]
    fn blocks_methods_dates_and_refusals_are_those_of_transformers() {
        let source = "{{ bos_token }}{{ strftime_now('%d %b %Y') }}\n\
                      {% for message in messages %}\n\
                      \x20 {% if message['role'] == 'tool' %}\n\
                      {{ raise_exception('no tools here') }}\n\
                      \x20 {% endif %}\n\
                      {{ message.role.upper() }}: {% generation %}{{ message['content'].strip() }}{% endgeneration %}|\n\
                      {% endfor %}\n\
                      {%- if add_generation_prompt %}A:{% endif %}{{ extra }}";
        let messages = [Message::new("user", " hi "), Message::new("assistant", "ho")];
        let variables = [("extra".to_owned(), Value::from("!"))].into_iter().collect();
        let rendered = template(source).render(&messages, &variables).unwrap();
        assert_eq!(rendered, "<s>26 Jul 2024\nUSER: hi|\nASSISTANT: ho|\nA:!");
        let error = template(source).render(&[Message::new("tool", "x")], &Map::new()).unwrap_err();
        assert!(std::error::Error::source(&error).unwrap().to_string().contains("no tools here"));
    }

    #[test]
    fn conversations_are_written_as_transformers_writes_them() {
        #[derive(Deserialize)]
        struct Golden {
            conversations: Vec<Vec<Message>>,
            templates: BTreeMap<String, Rendered>,
        }
        #[derive(Deserialize)]
        struct Rendered {
            template: String,
            tokens: BTreeMap<String, String>,
            texts: Vec<String>,
        }
        let golden: Golden = serde_json::from_str(include_str!("../../tests/data/chat.json")).unwrap();
        assert_eq!((golden.conversations.len(), golden.templates.len()), (30, 7));
        for (family, Rendered { template, tokens, texts }) in golden.templates {
            let template = ChatTemplate::new(&template, tokens, None).unwrap();
            for (messages, text) in golden.conversations.iter().zip(texts) {
                assert_eq!(template.render(messages, &Map::new()).unwrap(), text, "{family}: {messages:?}");
            }
        }
    }

    #[test]
    fn conversations_of_gemma_have_its_roles_and_begin_once() {
        #[derive(Deserialize)]
        struct Case {
            messages: Vec<Message>,
            text: String,
            tokens: Vec<u32>,
        }
        let data: Value = serde_json::from_str(include_str!("../../tests/data/gemma_chat.json")).unwrap();
        let tokens = serde_json::from_value(data["tokens"].clone()).unwrap();
        let template = ChatTemplate::new(data["template"].as_str().unwrap(), tokens, None).unwrap();
        let tokenizer = Tokenizer::from_json(&data["tokenizer"].to_string(), Path::new("tokenizer.json")).unwrap();
        let begin = tokenizer.token_id("<bos>").unwrap();
        assert_eq!(data["own_tokens"][0], begin, "the tokenizer begins texts of its own");
        let cases: Vec<Case> = serde_json::from_value(data["cases"].clone()).unwrap();
        assert_eq!(cases.len(), 10);
        for Case { messages, text, tokens } in cases {
            let rendered = template.render(&messages, &Map::new()).unwrap();
            assert_eq!(rendered, text);
            assert_eq!(tokenizer.encode(&rendered).unwrap(), tokens);
            assert_eq!(tokens.iter().filter(|token| **token == begin).count(), 1);
        }
        let wrong = [Message::new("user", "a"), Message::new("user", "b")];
        let error = template.render(&wrong, &Map::new()).unwrap_err();
        assert!(std::error::Error::source(&error).unwrap().to_string().contains("alternate"));
    }

    #[test]
    fn a_template_without_the_question_is_refused() {
        let check = |source| template(source).check_keeps_questions("here").map_err(|error| error.to_string());
        for lost in
            ["hello", "", "{{ bos_token }}", "{% for m in messages %}{{ m.role }}: {{ m['contents'] }}{% endfor %}"]
        {
            let message = check(lost).unwrap_err();
            assert!(
                message.contains("the chat template in here writes conversations without the question"),
                "{message}"
            );
        }
        for kept in [
            "{{ messages[0].content }}",
            "{{ messages[-1]['content'].upper().strip() }}",
            "{% if messages[0].role != 'system' %}{{ raise_exception('no system') }}{% endif %}{{ messages[1].content }}",
            "{{ raise_exception('never') }}",
        ] {
            check(kept).unwrap();
        }
    }

    #[test]
    fn work_that_the_library_does_not_count_is_paid_for() {
        let nested = "{% set a = [1] * 1000 %}{% set b = [a] * 1000 %}{% set c = [b] * 1000 %}";
        for source in [
            "{{ '{:>3000000000}'.format(5)|length }}",
            "{{ '{:.3000000000f}'.format(5.5)|length }}",
            "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(40) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x|length }}",
            &format!("{nested}{{{{ c|tojson|length }}}}"),
            &format!("{nested}{{{{ ','.join(c)|length }}}}"),
            &format!("{nested}{{{{ '{{}}'.format(c)|length }}}}"),
            &format!("{nested}{{{{ c|string|length }}}}"),
            &format!("{nested}{{{{ c }}}}"),
            &format!("{nested}{{{{ raise_exception(c) }}}}"),
            "{{ ('a,' * 9000000).split(',')|length }}",
            "{{ ('a,' * 9000000)|split(',')|length }}",
            "{{ ('a\n' * 9000000).splitlines()|length }}",
            "{{ ('a\n' * 9000000)|lines|length }}",
            "{{ ('a' * 20000000)|list|length }}",
        ] {
            let error = template(source).render(&[], &Map::new()).unwrap_err();
            assert!(
                std::error::Error::source(&error).unwrap().to_string().contains("out of fuel"),
                "{source}: {error:?}"
            );
        }
        let written = template("{{ '{:>4}|{}'.format(5, 'a').split('|') | tojson }}").render(&[], &Map::new()).unwrap();
        assert_eq!(written, r#"["   5","a"]"#);
        assert_eq!(template("{{ 'a b'|split|join('-') }}").render(&[], &Map::new()).unwrap(), "a-b");
    }

    #[test]
    fn a_text_that_is_no_template_or_no_date_is_an_error() {
        let compile = |source, date| ChatTemplate::new(source, BTreeMap::new(), date).unwrap_err().to_string();
        let endless = "{% for i in range(99999) %}{% for j in range(99999) %}{{ j }}{% endfor %}{% endfor %}";
        assert!(template(endless).render(&[], &Map::new()).is_err());
        let kinds = template("{{ tools is none }} {{ tools is iterable }} {{ '<a>' | tojson }}")
            .render(&[], &Map::new())
            .unwrap();
        assert_eq!(kinds.to_lowercase(), "true false \"<a>\"");
        assert!(compile("{% if %}", None).contains("cannot be compiled"));
        assert!(compile("", Some("yesterday")).contains("`yesterday`"));
        let template = ChatTemplate::new("{{ strftime_now('%Y') }}", BTreeMap::new(), Some("2031-02-03")).unwrap();
        assert_eq!(template.render(&[], &Map::new()).unwrap(), "2031");
    }
}

use http::Method;
use sallygate::{Api, ConfigError, Place, ServiceConfig, service::PathPattern};

use crate::{bounds::Bounds, place, refusal::Refusal, section::Section};

/// Where else the token is looked for, and what passes: where to, how much, how long.
pub(crate) struct Rules {
    accept: Vec<Place>,
    methods: Option<Vec<Method>>,
    paths: Option<Vec<PathPattern>>,
    refuse_paths: Option<Vec<PathPattern>>,
    bounds: Bounds,
}

impl Rules {
    const KEYS: [&str; 4] = ["accept", "methods", "paths", "refuse_paths"];

    /// What a table with rules may hold besides.
    pub(crate) fn keys() -> Vec<&'static str> {
        [&Self::KEYS[..], &Bounds::KEYS].concat()
    }

    pub(crate) fn parse(section: &mut Section) -> Result<Self, Refusal> {
        const METHODS: &str = r#"a list such as ["GET", "POST"]"#;
        let methods = section.texts("methods", METHODS)?.map(|methods| {
            let methods = methods
                .iter()
                .map(|name| Method::from_bytes(name.as_bytes()));
            methods.collect::<Result<_, _>>()
        });
        Ok(Self {
            accept: place::accept(section)?,
            methods: methods
                .transpose()
                .map_err(|_| section.refuse("methods", METHODS))?,
            paths: patterns(section, "paths")?,
            refuse_paths: patterns(section, "refuse_paths")?,
            bounds: Bounds::parse(section)?,
        })
    }

    pub(crate) fn apply(&self, service: Api) -> Api {
        // An API that is known by name has rules of its own, of which these replace some.
        let mut policy = ServiceConfig::policy(&service).clone();
        if let Some(methods) = &self.methods {
            policy = policy.methods(methods.clone());
        }
        if let Some(paths) = &self.paths {
            policy = policy.paths(paths.clone());
        }
        if let Some(paths) = &self.refuse_paths {
            policy = policy.refuse_paths(paths.clone());
        }
        let places = self.accept.iter().cloned();
        let service = service.with_policy(self.bounds.apply(policy));
        places.fold(service, Api::accept)
    }
}

fn patterns(section: &mut Section, key: &str) -> Result<Option<Vec<PathPattern>>, Refusal> {
    const EXPECTED: &str = r#"a list such as ["/v1/**"]"#;
    let Some(texts) = section.texts(key, EXPECTED)? else {
        return Ok(None);
    };
    let patterns: Result<_, ConfigError> = texts.iter().map(|text| text.parse()).collect();
    patterns
        .map(Some)
        .map_err(|problem| section.refuse(key, format!("{EXPECTED} ({problem})")))
}

use std::{fmt, iter};

use sallygate::Api;

use crate::{
    place::{self, Injection},
    refusal::Refusal,
    rules::Rules,
    section::Section,
    source::{self, Source},
    target::Address,
    upstream::MakeKey,
};

/// An API of which the file says everything.
pub(crate) struct Generic {
    pub(crate) address: Address,
    first: Injection,
    more: Vec<Injection>,
    credential: Option<Source>,
    rules: Rules,
    /// The table's name.
    name: String,
}

impl Generic {
    pub(crate) fn parse(section: &mut Section) -> Result<Self, Refusal> {
        const KEYS: [&str; 7] = [
            "preset",
            "target",
            "inject",
            "credential",
            "allow_plaintext",
            "http2",
            "ca_file",
        ];
        section.only(&[&KEYS[..], &Rules::keys()].concat())?;
        let address = Address::required(section, "target")?;
        let mut inject = place::inject(section)?.into_iter();
        let first = inject.next();
        Ok(Self {
            address,
            first: first.ok_or_else(|| section.refuse("inject", place::EXPECTED))?,
            more: inject.collect(),
            credential: Source::optional(section, "credential")?,
            rules: Rules::parse(section)?,
            name: section.name().to_owned(),
        })
    }

    pub(crate) fn service(&self, make: MakeKey) -> Result<Api, Refusal> {
        let shared = self.credential.as_ref().map(make).transpose()?;
        let key = |injection: &Injection| match (&injection.credential, &shared) {
            (Some(own), _) => make(own),
            (None, Some(shared)) => Ok(shared.clone()),
            (None, None) => {
                let key = format!("{}.credential", self.name);
                Err(Refusal::new(key, source::EXPECTED))
            }
        };
        let (target, place) = (self.address.target.clone(), self.first.place.clone());
        let service = Api::new(target, sallygate::Injection::new(place, key(&self.first)?));
        let service = self.more.iter().try_fold(service, |service, next| {
            Ok(service.inject(sallygate::Injection::new(next.place.clone(), key(next)?)))
        })?;
        Ok(self.rules.apply(service))
    }
}

impl fmt::Display for Generic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let injections = iter::once(&self.first).chain(&self.more);
        let own = injections.filter_map(|injection| injection.credential.as_ref());
        let kinds = source::kinds(own.chain(&self.credential));
        write!(f, "{}; key from {kinds}{}", self.address.origin, self.rules)
    }
}

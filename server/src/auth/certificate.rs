//! Client certificates. TLS has checked who issued one and that its owner has the key; here is whom it names.

use jiff::Timestamp;
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer as _, X509Certificate},
};

use super::{AuthError, names};
use crate::{
    approval::{Person, Principal},
    config::{CertificateName, Certificates, PrincipalKind},
};

fn refused(problem: &str) -> AuthError {
    AuthError::Refused(format!("the client certificate {problem}"))
}

/// A certificate that is good now.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) until: Timestamp,
    names: Vec<String>,
}

impl Shown {
    /// Reads a certificate. A connection may outlive it, so its time is looked at here, too.
    pub(super) fn read(der: &[u8], settings: Option<&Certificates>, now: Timestamp) -> Result<Self, AuthError> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|_| refused("can't be read"))?;
        let validity = certificate.validity();
        if now.as_second() < validity.not_before.timestamp() {
            return Err(refused("is not valid yet"));
        }
        if now.as_second() > validity.not_after.timestamp() {
            return Err(refused("has expired"));
        }
        let until = Timestamp::from_second(validity.not_after.timestamp()).unwrap_or(Timestamp::MAX);
        let names = match settings {
            Some(settings) => names_of(&certificate, settings.principal)?,
            None => Vec::new(),
        };
        Ok(Self { until, names })
    }

    /// Whom it names: exactly one.
    pub(super) fn person(&self, settings: &Certificates) -> Result<Person, AuthError> {
        let mut named = self.names.iter().filter_map(|name| map(name, settings)).collect::<Vec<_>>();
        named.dedup();
        match named.pop() {
            None if self.names.is_empty() => Err(refused("has no name of the kind that is asked for")),
            None => Err(refused("has a name that stands for nobody here")),
            Some(_) if !named.is_empty() => Err(refused("names several callers")),
            Some((kind, name)) => {
                let principal: Principal = names::principal(kind.prefix(), &name)
                    .map_err(|problem| refused(&format!("has a name that can't be a caller's: {problem}")))?;
                Ok(Person { principal, groups: Vec::new() })
            }
        }
    }
}

/// What a name stands for: by the longest beginning that fits.
fn map(name: &str, settings: &Certificates) -> Option<(PrincipalKind, String)> {
    if settings.map.is_empty() {
        let kind = match settings.principal {
            CertificateName::Uri | CertificateName::Dns => PrincipalKind::Service,
            CertificateName::Email | CertificateName::Cn => PrincipalKind::User,
        };
        return Some((kind, name.to_owned()));
    }
    let fitting = settings.map.iter().filter(|map| name.starts_with(&map.prefix));
    let map = fitting.max_by_key(|map| map.prefix.len())?;
    Some((map.kind, name.strip_prefix(&map.prefix)?.to_owned()))
}

fn names_of(certificate: &X509Certificate<'_>, wanted: CertificateName) -> Result<Vec<String>, AuthError> {
    if wanted == CertificateName::Cn {
        let names = certificate.subject().iter_common_name().map(|name| name.as_str().map(str::to_owned));
        return names.collect::<Result<_, _>>().map_err(|_| refused("can't be read"));
    }
    let alternative = certificate.subject_alternative_name().map_err(|_| refused("can't be read"))?;
    let names = alternative.iter().flat_map(|extension| &extension.value.general_names);
    Ok(names
        .filter_map(|name| match (name, wanted) {
            (GeneralName::URI(name), CertificateName::Uri)
            | (GeneralName::DNSName(name), CertificateName::Dns)
            | (GeneralName::RFC822Name(name), CertificateName::Email) => Some((*name).to_owned()),
            _ => None,
        })
        // A name for many is nobody's.
        .filter(|name| !name.contains('*'))
        .collect())
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan as _;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;
    use crate::config::CertificateMap;

    fn certificate(names: Vec<SanType>) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Ana Example");
        params.subject_alt_names = names;
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    fn uri(text: &str) -> SanType {
        SanType::URI(text.try_into().unwrap())
    }

    fn settings(principal: CertificateName, map: &[(&str, PrincipalKind)]) -> Certificates {
        let map = map.iter().map(|(prefix, kind)| CertificateMap { prefix: (*prefix).to_owned(), kind: *kind });
        Certificates { principal, map: map.collect() }
    }

    fn who(der: &[u8], settings: &Certificates) -> Result<String, String> {
        let person = Shown::read(der, Some(settings), Timestamp::now()).and_then(|shown| shown.person(settings));
        person.map(|person| person.principal.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_name_is_taken_from_where_the_config_says() {
        let der = certificate(vec![
            uri("spiffe://example.com/bot"),
            SanType::DnsName("bot.example.com".try_into().unwrap()),
            SanType::Rfc822Name("ana@example.com".try_into().unwrap()),
        ]);
        for (from, expected) in [
            (CertificateName::Uri, "service:spiffe://example.com/bot"),
            (CertificateName::Dns, "service:bot.example.com"),
            (CertificateName::Email, "user:ana@example.com"),
            (CertificateName::Cn, "user:Ana Example"),
        ] {
            assert_eq!(who(&der, &settings(from, &[])).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn a_name_is_mapped_by_its_longest_beginning_or_refused() {
        let settings = settings(
            CertificateName::Uri,
            &[("spiffe://a/", PrincipalKind::Service), ("spiffe://a/people/", PrincipalKind::User)],
        );
        assert_eq!(who(&certificate(vec![uri("spiffe://a/people/ana")]), &settings).as_deref(), Ok("user:ana"));
        assert_eq!(who(&certificate(vec![uri("spiffe://a/bot")]), &settings).as_deref(), Ok("service:bot"));
        assert!(who(&certificate(vec![uri("spiffe://b/bot")]), &settings).unwrap_err().contains("nobody"));
        assert!(who(&certificate(vec![]), &settings).unwrap_err().contains("no name"));
        assert!(who(&certificate(vec![uri("spiffe://a/")]), &settings).is_err());
        assert!(who(&certificate(vec![uri("spiffe://a/user:ana")]), &settings).is_err());
        let two = certificate(vec![uri("spiffe://a/one"), uri("spiffe://a/two")]);
        assert!(who(&two, &settings).unwrap_err().contains("several"));
    }

    #[test]
    fn a_certificate_has_its_time() {
        let der = certificate(vec![uri("spiffe://a/bot")]);
        let shown = Shown::read(&der, None, Timestamp::now()).unwrap();
        let late = shown.until + 1.second();
        assert!(Shown::read(&der, None, late).unwrap_err().to_string().contains("expired"));
        let early = "1960-01-01T00:00:00Z".parse().unwrap();
        assert!(Shown::read(&der, None, early).unwrap_err().to_string().contains("not valid yet"));
        assert!(Shown::read(b"nonsense", None, Timestamp::now()).is_err());
    }
}

//! Header names: known ones as data, compact forms, and their rsip variants.
//!
//! Names compare without regard to case and compact forms mean the long ones
//! (3261 §7.3.1, §7.3.3; 6665 §8.4).

use rsip::headers as h;

macro_rules! names {
    ({ $($id:ident $text:literal $compact:literal;)* }
     { $($other:ident $other_text:literal $other_compact:literal;)* }) => {
        /// A header name the core or its users care about by meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Name {
            $(#[doc = $text] $id,)*
            $(#[doc = $other_text] $other,)*
            /// Any other name.
            Other,
        }

        impl Name {
            /// Returns the name as puad writes it; empty for `Other`.
            pub fn text(self) -> &'static str {
                match self {
                    $(Self::$id => $text,)*
                    $(Self::$other => $other_text,)*
                    Self::Other => "",
                }
            }

            const ALL: &[(Self, &'static str, u8)] = &[
                $((Self::$id, $text, $compact),)*
                $((Self::$other, $other_text, $other_compact),)*
            ];

            /// Builds the rsip header of this name; `raw` names what has no variant of its own.
            pub(super) fn to_rsip(self, raw: &str, value: String) -> rsip::Header {
                match self {
                    $(Self::$id => rsip::Header::$id(h::$id::from(value)),)*
                    $(Self::$other => rsip::Header::Other($other_text.into(), value),)*
                    Self::Other => rsip::Header::Other(raw.into(), value),
                }
            }

            /// Returns name and value of an rsip header.
            pub(super) fn of_rsip(header: &rsip::Header) -> (&str, &str) {
                use rsip::headers::UntypedHeader;
                match header {
                    $(rsip::Header::$id(header) => ($text, header.value()),)*
                    rsip::Header::Other(name, value) => (name, value),
                }
            }
        }
    };
}

names! {{
    Via "Via" b'v';
    From "From" b'f';
    To "To" b't';
    CallId "Call-ID" b'i';
    CSeq "CSeq" 0;
    MaxForwards "Max-Forwards" 0;
    Contact "Contact" b'm';
    Route "Route" 0;
    RecordRoute "Record-Route" 0;
    Event "Event" b'o';
    Expires "Expires" 0;
    MinExpires "Min-Expires" 0;
    SubscriptionState "Subscription-State" 0;
    ContentLength "Content-Length" b'l';
    ContentType "Content-Type" b'c';
    ContentEncoding "Content-Encoding" b'e';
    ContentDisposition "Content-Disposition" 0;
    ContentLanguage "Content-Language" 0;
    Accept "Accept" 0;
    AcceptEncoding "Accept-Encoding" 0;
    AcceptLanguage "Accept-Language" 0;
    AlertInfo "Alert-Info" 0;
    Allow "Allow" 0;
    AuthenticationInfo "Authentication-Info" 0;
    Authorization "Authorization" 0;
    CallInfo "Call-Info" 0;
    Date "Date" 0;
    ErrorInfo "Error-Info" 0;
    InReplyTo "In-Reply-To" 0;
    MimeVersion "MIME-Version" 0;
    Organization "Organization" 0;
    Priority "Priority" 0;
    ProxyAuthenticate "Proxy-Authenticate" 0;
    ProxyAuthorization "Proxy-Authorization" 0;
    ProxyRequire "Proxy-Require" 0;
    ReplyTo "Reply-To" 0;
    Require "Require" 0;
    RetryAfter "Retry-After" 0;
    Server "Server" 0;
    Subject "Subject" b's';
    Supported "Supported" b'k';
    Timestamp "Timestamp" 0;
    Unsupported "Unsupported" 0;
    UserAgent "User-Agent" 0;
    Warning "Warning" 0;
    WwwAuthenticate "WWW-Authenticate" 0;
} {
    AllowEvents "Allow-Events" b'u';
    SipETag "SIP-ETag" 0;
    SipIfMatch "SIP-If-Match" 0;
    ReferTo "Refer-To" b'r';
}}

impl Name {
    /// Recognises a name, long or compact, in any case.
    pub fn of(name: &[u8]) -> Self {
        if let [letter] = name {
            let letter = letter.to_ascii_lowercase();
            return Self::ALL
                .iter()
                .find(|(_, _, compact)| *compact == letter && *compact != 0)
                .map_or(Self::Other, |(id, _, _)| *id);
        }
        // A length and a first letter rule out all but one or two candidates.
        let Some(first) = name.first().map(u8::to_ascii_uppercase) else { return Self::Other };
        Self::ALL
            .iter()
            .find(|(_, text, _)| {
                text.len() == name.len()
                    && text.as_bytes()[0] == first
                    && text.as_bytes().eq_ignore_ascii_case(name)
            })
            .map_or(Self::Other, |(id, _, _)| *id)
    }

    /// Returns whether a message may carry this header once only and the core reads it (3261 §7.3.1).
    pub(crate) fn is_single(self) -> bool {
        matches!(
            self,
            Self::From
                | Self::To
                | Self::CallId
                | Self::CSeq
                | Self::MaxForwards
                | Self::ContentType
                | Self::Event
                | Self::Expires
                | Self::SubscriptionState
        )
    }
}

// What the mock answers for Channels, Sources, Guide and System: "METHOD /path/{template}" to a value, or a function of
// {mock, body, query, parts}. undefined is 204, {created} is 201, {refuse: 422, detail, field} a no.

export const PAGES = {};

mod cases;
mod property;
mod rules;
